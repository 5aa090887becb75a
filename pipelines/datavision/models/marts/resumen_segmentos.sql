-- How many customers each segment has, and what they brought.
SELECT
    segmento,
    count(*) AS clientes,
    CAST(sum(monto) AS DECIMAL(18, 2)) AS monto,
    CAST(round(sum(monto) / count(*), 2) AS DECIMAL(18, 2)) AS monto_medio
FROM fact_rfm
WHERE fecha_corte = CAST($fecha_corte AS DATE)
GROUP BY segmento
ORDER BY segmento
