//! The promises, asserted from outside: what the peer saw, what the workload saw, what the trail and the
//! metrics say. One binary, so that there is one link.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests"
)]

mod support;

mod activation;
mod admin;
mod alerts;
mod audit;
mod audit_bad_input;
mod audit_clock;
mod audit_config;
mod audit_files;
mod audit_forms;
mod audit_proof;
mod audit_query;
mod audit_reads;
mod audit_reconcile;
mod audit_report;
mod audit_tail;
mod audit_taken;
mod begun;
mod ca;
mod ca_live;
mod ca_serve;
mod ca_serve_guide;
mod ca_serve_hosts;
mod ca_serve_wire;
mod checkpoints;
mod cli;
mod clock;
mod config_files;
mod control;
mod corpora;
mod dashboard;
mod demo;
mod dicom;
mod dicom_commands;
mod dicom_endings;
mod dicom_foreign;
mod dicom_retrieve;
mod dicom_wire;
mod est;
mod est_foreign;
mod est_lists;
mod est_refusals;
mod examples;
mod explain;
mod export_faults;
mod export_http;
mod export_syslog;
mod floods;
mod foreign;
mod forward_proxy;
mod forward_proxy_changes;
mod handover;
mod handover_rights;
mod http_bodies;
mod http_dicomweb;
mod http_failures;
mod http_fhir;
mod http_fhir_foreign;
mod http_fhir_reach;
mod http_foreign;
mod http_gate;
mod http_grpc;
mod http_h2;
mod http_headers;
mod http_hosts;
mod http_large;
mod http_lifecycle;
mod http_paths;
mod http_phi;
mod http_routes;
mod http_soap;
mod http_soap_body;
mod http_soap_foreign;
mod http_websocket;
mod identity_files;
mod identity_keys;
mod import;
mod init;
mod kube;
mod lasting;
mod layering;
mod lenient;
mod lifecycle;
mod limits;
mod mllp;
mod mllp_ends;
mod mllp_foreign;
mod mllp_records;
mod mllp_senders;
mod nagios;
mod no_phi;
mod notify;
mod observe;
mod outbound;
mod pages;
mod parent;
mod parting;
mod partners;
mod permissive;
mod pins;
mod policy_protocols;
mod policy_reach;
mod policy_replay;
mod policy_suggest;
mod policy_test;
mod policy_traffic;
mod postgres;
mod probe;
mod probe_certificates;
mod quotas;
mod readme;
mod redirect;
mod redirect_ways;
mod refusals;
#[cfg(feature = "rego")]
mod rego;
#[cfg(feature = "rego")]
mod rego_commands;
mod reload;
mod resumption;
mod rotation;
mod rotation_load;
mod sandbox;
mod scrape;
mod spiffe;
mod spiffe_agent;
mod starting;
mod status;
mod tcp;
mod tls;
mod traces;
mod traces_export;
mod vault;
mod vault_auth;
mod vm;
mod withdrawal;
mod withdrawal_outbound;
mod withdrawal_waiting;
mod workload_probes;
