//! The program's commands, run in the test's own process over operators that do what a topology file
//! says, and as the built binary where no operator is needed.

mod alerts;
mod binary;
mod commands;
mod credentials;
mod dead_letters;
mod dlq;
mod documents;
mod embedded;
mod help;
mod http;
mod init;
mod lag;
mod pages;
mod peers;
mod push;
mod readiness;
mod run;
mod secrets;
mod support;
mod test;
mod try_out;
