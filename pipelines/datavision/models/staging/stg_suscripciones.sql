-- One row per customer and day: several purchases of a day are one visit. Free items are no purchase.
SELECT
    cliente_id,
    fecha,
    count(*) AS compras,
    sum(cantidad) AS unidades,
    CAST(sum(monto) AS DECIMAL(18, 2)) AS monto
FROM suscripciones
WHERE monto > 0
GROUP BY cliente_id, fecha
