-- What a check of a symbol came to, and when.
SELECT
    $ticker AS ticker,
    $source AS source,
    CAST($ds AS DATE) AS day,
    now() AS checked_at,
    CAST($score AS DOUBLE) AS score,
    CAST($min_score AS DOUBLE) AS min_score,
    CAST($passed AS BOOLEAN) AS passed,
    CAST($rows AS BIGINT) AS days,
    CAST($flagged AS BIGINT) AS flagged_days
