-- The purchases of the days from $desde to $hasta, under the names of the lake.
SELECT
    "date" AS fecha,
    customer_id AS cliente_id,
    number_of_cds AS cantidad,
    dollar_value AS monto
FROM compras
WHERE "date" BETWEEN CAST($desde AS DATE) AND CAST($hasta AS DATE)
