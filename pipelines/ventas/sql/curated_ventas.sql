-- Masked sales with their customer's and product's attributes. Purchases of amount zero (free items) are not sales.
SELECT
    v.transaccion_id,
    v.fecha_transaccion,
    v.cliente_id,
    c.segmento,
    c.pais,
    v.producto_id,
    p.producto_nombre,
    p.categoria,
    v.cantidad,
    v.total,
    v.email_masked,
    v.tarjeta_masked,
    CAST(date_part('year', v.fecha_transaccion) AS INT) AS year,
    CAST(date_part('month', v.fecha_transaccion) AS INT) AS month,
    v.region
FROM ventas v
LEFT JOIN clientes c ON c.cliente_id = v.cliente_id
LEFT JOIN productos p ON p.producto_id = v.producto_id
WHERE v.total > 0
