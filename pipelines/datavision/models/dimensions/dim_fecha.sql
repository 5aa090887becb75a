-- Every day that has purchases, with the parts of the date that reports group by. Monday is day 1.
SELECT
    fecha,
    CAST(date_part('year', fecha) AS INT) AS anio,
    CAST(date_part('quarter', fecha) AS INT) AS trimestre,
    CAST(date_part('month', fecha) AS INT) AS mes,
    CAST(date_part('day', fecha) AS INT) AS dia,
    CAST((date_part('dow', fecha) + 6) % 7 + 1 AS INT) AS dia_semana,
    count(*) AS clientes,
    CAST(sum(monto) AS DECIMAL(18, 2)) AS monto
FROM stg
GROUP BY fecha
