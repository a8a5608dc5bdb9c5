create table items (id integer primary key, name text not null, price real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
insert into items (name, price) select printf('item %d', i), i * 1.25 from n;
create index by_name on items (name);
vacuum;
