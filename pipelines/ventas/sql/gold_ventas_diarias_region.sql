-- One row per day and region. The average is rounded half away from zero to the cent; sums are exact.
SELECT
    fecha_transaccion,
    region,
    count(*) AS num_transacciones,
    CAST(sum(total) AS DECIMAL(18, 2)) AS revenue_total,
    CAST(round(sum(total) / count(*), 2) AS DECIMAL(18, 2)) AS ticket_promedio,
    count(DISTINCT cliente_id) AS clientes_unicos
FROM ventas
WHERE fecha_transaccion = CAST($ds AS DATE)
GROUP BY fecha_transaccion, region
ORDER BY region
