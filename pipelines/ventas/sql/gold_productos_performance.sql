-- What each product brought on the day.
SELECT
    fecha_transaccion AS fecha,
    producto_id,
    producto_nombre,
    categoria,
    count(*) AS num_transacciones,
    sum(cantidad) AS unidades_vendidas,
    CAST(sum(total) AS DECIMAL(18, 2)) AS revenue_total,
    CAST(round(sum(total) / count(*), 2) AS DECIMAL(18, 2)) AS ticket_promedio
FROM ventas
WHERE fecha_transaccion = CAST($ds AS DATE)
GROUP BY fecha_transaccion, producto_id, producto_nombre, categoria
ORDER BY revenue_total DESC, producto_id
