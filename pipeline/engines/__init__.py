"""Door to the engines that run the parts of a job. Which one runs changes no byte of the result."""

ENGINES: dict[str, str] = {
    "here": "pipeline.engines.here:run",
    "processes": "pipeline.engines.processes:run",
    "dask": "pipeline.engines.cluster:run",
}
