"""The clock: DVC's graph, repro, the Prefect flow, the dry run, the processes of stages."""
