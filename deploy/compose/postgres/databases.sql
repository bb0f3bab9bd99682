-- One database per write service; the role is POSTGRES_USER's. Run once, when the volume is new.
CREATE DATABASE customers;
CREATE DATABASE catalog;
CREATE DATABASE orders;
CREATE DATABASE payments;
CREATE DATABASE shipping;
