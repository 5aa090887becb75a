-- The week from a Monday on, as far as its days are in gold: one row per region, whose sums are those of its days.
SELECT
    CAST($lunes AS DATE) AS semana,
    region,
    count(*) AS dias,
    max(fecha_transaccion) AS hasta,
    CAST(sum(num_transacciones) AS BIGINT) AS num_transacciones,
    CAST(sum(revenue_total) AS DECIMAL(18, 2)) AS revenue_total,
    CAST(round(sum(revenue_total) / sum(num_transacciones), 2) AS DECIMAL(18, 2)) AS ticket_promedio,
    max(revenue_total) AS mejor_dia
FROM ventas
WHERE fecha_transaccion >= CAST($lunes AS DATE)
    AND fecha_transaccion < CAST($lunes AS DATE) + INTERVAL '7' DAY
GROUP BY region
ORDER BY region
