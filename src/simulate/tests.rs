//! Whether what is acted out is what it is called.
//!
//! Rule: every class is either judged by the engine under its own name, or refused with a reason.
