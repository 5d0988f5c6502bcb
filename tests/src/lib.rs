//! Fakes and control of real services, for integration tests and benches.
