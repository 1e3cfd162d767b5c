-- What was written where, from which part of the log, when, and how many. For DATA_DIR/ledger.db.
SELECT t.name AS "table", t.target, f.key AS object, f.rows, f.bytes, f.hash,
       e.first AS from_position, e.next AS to_position,
       e.received, e.dead AS dead_letters, e.late, e.duplicates, e.filtered,
       datetime(e.created / 1000000, 'unixepoch') AS committed,
       CASE WHEN e.delivered > 0 THEN 'yes' ELSE 'waits' END AS delivered
FROM entries e
JOIN tables t ON t.id = e.table_id
LEFT JOIN files f ON f.entry_id = e.id
ORDER BY e.id, f.n;
