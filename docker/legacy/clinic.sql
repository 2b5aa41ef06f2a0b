create table invoices (number text, patient text, mrn text, total numeric, due date);

insert into invoices values ('2026-1042', 'Mustermann', 'MRN-4711-0815', 118.40, '2026-01-31');

