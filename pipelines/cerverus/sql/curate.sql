-- Prices that passed, with the return of each day.
SELECT
    $ticker AS ticker,
    day,
    open,
    high,
    low,
    close,
    adj_close,
    volume,
    ln(CAST(close AS DOUBLE) / lag(CAST(close AS DOUBLE)) OVER (ORDER BY day)) AS log_return
FROM prices
