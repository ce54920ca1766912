//! How far the user's clock is from UTC.

use ailurus::wire::time::UnixMillis;

/// By how many seconds local time is ahead of UTC at `now`, by the system's rules; 0 where it does not tell.
#[cfg(unix)]
pub fn utc_offset(now: UnixMillis) -> i32 {
    let Ok(seconds) = libc::time_t::try_from(now.as_secs()) else {
        return 0;
    };
    // SAFETY: all zeros is a valid `tm`, whose only pointer may be null.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values on this stack, valid for the call.
    if unsafe { libc::localtime_r(&raw const seconds, &raw mut local) }.is_null() {
        return 0;
    }
    i32::try_from(local.tm_gmtoff).unwrap_or(0)
}

/// UTC is taken for local time.
#[cfg(not(unix))]
pub fn utc_offset(_: UnixMillis) -> i32 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_further_than_14_hours_from_greenwich() {
        let offset = utc_offset(UnixMillis::from_secs(1_800_000_000));
        assert!((-12 * 3_600..=14 * 3_600).contains(&offset), "{offset}");
    }
}
