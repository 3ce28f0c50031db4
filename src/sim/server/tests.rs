//! The API server in memory, on its own.
//!
//! Rule: what the script of calls shows is not shown here again.
