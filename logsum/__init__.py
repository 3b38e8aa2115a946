"""The reports: what was transferred over any period, from the logs."""
