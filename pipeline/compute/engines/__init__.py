"""Door to the engines that run the chunks of a job. Which one runs changes no byte of the result."""

ENGINES: dict[str, str] = {
    "here": "pipeline.compute.engines.here:run",
    "processes": "pipeline.compute.engines.processes:run",
    "dask": "pipeline.compute.engines.cluster:run",
}
