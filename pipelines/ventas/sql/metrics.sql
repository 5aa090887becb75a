-- The figures of one run, one JSON object.
SELECT
    $ds AS ds,
    CAST($bytes_landed AS BIGINT) AS bytes_landed,
    CAST($quality_score AS DOUBLE) AS quality_score,
    CAST($rows_raw AS BIGINT) AS rows_raw,
    CAST($rows_rejected AS BIGINT) AS rows_rejected,
    CAST($rows_curated AS BIGINT) AS rows_curated,
    CAST($rows_productos AS BIGINT) AS rows_productos,
    CAST($rows_rfm AS BIGINT) AS rows_rfm,
    count(*) AS rows_region,
    CAST(coalesce(sum(revenue_total), 0) AS DECIMAL(18, 2)) AS revenue_total
FROM region
WHERE fecha_transaccion = CAST($ds AS DATE)
