-- Recency, frequency and monetary value of every customer within the window, their quintiles (5 is best) and segment.
-- Ties are ordered by customer, so that the same data gives the same quintiles.
WITH ventana AS (
    SELECT *
    FROM stg
    WHERE fecha <= CAST($fecha_corte AS DATE)
      AND fecha > CAST($fecha_corte AS DATE) - CAST($ventana_dias AS INT)
),
medidas AS (
    SELECT
        cliente_id,
        CAST(CAST($fecha_corte AS DATE) - max(fecha) AS BIGINT) AS recencia_dias,
        sum(compras) AS frecuencia,
        CAST(sum(monto) AS DECIMAL(18, 2)) AS monto
    FROM ventana
    GROUP BY cliente_id
    HAVING sum(monto) >= CAST($monto_minimo AS DECIMAL(18, 2))
),
quintiles AS (
    SELECT
        *,
        ntile(5) OVER (ORDER BY recencia_dias DESC, cliente_id) AS r,
        ntile(5) OVER (ORDER BY frecuencia, cliente_id) AS f,
        ntile(5) OVER (ORDER BY monto, cliente_id) AS m
    FROM medidas
),
segmentos AS (
    SELECT
        *,
        CASE
            WHEN r >= 4 AND f >= 4 AND m >= 4 THEN 'campeones'
            WHEN f >= 4 THEN 'leales'
            WHEN r >= 4 THEN 'prometedores'
            WHEN r <= 2 AND m >= 4 THEN 'en_riesgo'
            WHEN r <= 2 AND f <= 2 THEN 'dormidos'
            ELSE 'otros'
        END AS segmento
    FROM quintiles
)
SELECT
    CAST($fecha_corte AS DATE) AS fecha_corte,
    s.cliente_id,
    d.cohorte,
    s.recencia_dias,
    s.frecuencia,
    s.monto,
    s.r,
    s.f,
    s.m,
    s.r * 100 + s.f * 10 + s.m AS rfm,
    s.segmento
FROM segmentos s
LEFT JOIN dim_cliente d ON d.cliente_id = s.cliente_id
WHERE $segmento = 'todos' OR s.segmento = $segmento
ORDER BY s.cliente_id
