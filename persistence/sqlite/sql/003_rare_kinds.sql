-- The same rows as before, for less: SQLite looks at the condition with every row that is written,
-- and a list takes 0.8 us to look through, two comparisons next to nothing. Between 'hold' and
-- 'hold_released' are the common kinds of holds only.
DROP INDEX log_kind;
CREATE INDEX log_kind ON log (user_id, kind)
    WHERE kind <> 'usage' AND (kind < 'hold' OR kind > 'hold_released');
