-- The run's lineage in the shape of an OpenLineage run event: what was read, what was written, at which version.
SELECT
    'COMPLETE' AS "eventType",
    $logical_date AS "eventTime",
    named_struct('runId', $run_id) AS run,
    named_struct('namespace', 'cauce', 'name', 'ventas_batch') AS job,
    make_array(named_struct('namespace', 's3', 'name', $raw)) AS inputs,
    make_array(
        named_struct('namespace', 's3', 'name', $curated, 'version', $curated_version),
        named_struct('namespace', 's3', 'name', $region, 'version', CAST(NULL AS BIGINT)),
        named_struct('namespace', 's3', 'name', $productos, 'version', CAST(NULL AS BIGINT)),
        named_struct('namespace', 's3', 'name', $rfm, 'version', CAST(NULL AS BIGINT))
    ) AS outputs
