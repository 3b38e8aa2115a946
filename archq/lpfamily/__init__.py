"""Drop-ins for lp, lpstat, cancel and lpmove: System V's words for archq's queues, and a way on for all others."""
