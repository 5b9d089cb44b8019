//! What the tests of protocols share.
