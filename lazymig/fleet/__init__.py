"""One sweep by several processes, on this machine or on a Dask cluster."""
