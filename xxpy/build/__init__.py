"""The builder: text -> instructions -> Graph -> Plan -> Engine -> Exporter, each step pure until the last two."""
