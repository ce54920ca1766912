import Foundation

extension Client {
    /// What was spent today and in the last 7 days, where today begins at midnight in this calendar: the phone's own.
    public func usage(calendar: Calendar = .current) async throws -> UsageReport {
        try await usage(utcOffset: Int32(clamping: calendar.timeZone.secondsFromGMT()))
    }
}
