//! What is read of requests, case by case.

mod form;
mod paths;
mod reach;
