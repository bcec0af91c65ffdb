"""One pass by several processes on this machine, or a sweep on a Dask cluster."""
