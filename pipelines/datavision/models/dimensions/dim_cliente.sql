-- Every customer once, with first and last purchase and the month of the first: the cohort.
SELECT
    cliente_id,
    min(fecha) AS primera_compra,
    max(fecha) AS ultima_compra,
    to_char(min(fecha), '%Y-%m') AS cohorte,
    sum(compras) AS compras,
    CAST(sum(monto) AS DECIMAL(18, 2)) AS monto
FROM stg
GROUP BY cliente_id
