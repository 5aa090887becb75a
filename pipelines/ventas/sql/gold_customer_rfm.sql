-- Recency, frequency and value of every customer up to the day, whatever days come later.
WITH clientes AS (
    SELECT
        cliente_id,
        max(fecha_transaccion) AS ultima_compra,
        count(*) AS frecuencia,
        CAST(sum(total) AS DECIMAL(18, 2)) AS valor_monetario
    FROM ventas
    WHERE fecha_transaccion <= CAST($ds AS DATE)
    GROUP BY cliente_id
),
recencia AS (
    SELECT
        *,
        CAST(CAST($ds AS DATE) - ultima_compra AS BIGINT) AS recencia_dias
    FROM clientes
)
SELECT
    CAST($ds AS DATE) AS fecha_corte,
    cliente_id,
    ultima_compra,
    recencia_dias,
    frecuencia,
    valor_monetario,
    CAST(
        frecuencia * CAST(0.3 AS DECIMAL(2, 1))
        + valor_monetario * CAST(0.5 AS DECIMAL(2, 1))
        - recencia_dias * CAST(0.2 AS DECIMAL(2, 1))
        AS DECIMAL(18, 2)
    ) AS rfm_score
FROM recencia
ORDER BY cliente_id
