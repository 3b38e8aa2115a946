"""The tutorial run `archq demo`, with the frames and the servers that it needs; the only part that uses astropy."""
