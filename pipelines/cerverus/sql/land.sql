-- A series as it was on a day: dates as the lake writes them, everything else as it came, for the checks to read.
SELECT
    CAST(to_date("Date", '%m/%d/%Y') AS VARCHAR) AS day,
    "Open" AS open,
    "High" AS high,
    "Low" AS low,
    "Close" AS close,
    "Adj Close" AS adj_close,
    "Volume" AS volume
FROM prices
WHERE to_date("Date", '%m/%d/%Y') BETWEEN CAST($first AS DATE) AND CAST($ds AS DATE)
ORDER BY to_date("Date", '%m/%d/%Y')
