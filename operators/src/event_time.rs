//! Times in the text of records: reading and writing them. All times are ms since 1970, in UTC.

pub(crate) mod calendar;
pub(crate) mod rfc3339;
pub(crate) mod zone;
