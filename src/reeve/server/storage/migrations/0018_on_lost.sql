-- What an attempt was launched with: its shim goes by that, whatever becomes of the pool's setting meanwhile.
alter table attempts add column on_lost text;
