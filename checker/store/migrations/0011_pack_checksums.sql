-- What rules say must not change by itself: SQLite's pages have no checksums.
alter table packs add column yaml_crc32 integer;
