"""One sweep by several processes: workers of this machine, or of a Dask cluster."""
