select number, patient, mrn, total from invoices where due < current_date;
