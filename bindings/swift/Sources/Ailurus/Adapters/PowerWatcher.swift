#if canImport(UIKit) && !os(watchOS) && !os(tvOS)
import Foundation
import UIKit

/// Tells a client how the battery is, and whether low power mode is on, as long as this object is held.
@MainActor
public final class PowerWatcher {
    private let observers: Observers

    /// Tells the present state at once, and each change from then on.
    public init(client: Client) {
        UIDevice.current.isBatteryMonitoringEnabled = true
        let tell: @MainActor @Sendable () -> Void = { [weak client] in client?.setPower(state: .now) }
        observers = Observers([
            UIDevice.batteryLevelDidChangeNotification,
            UIDevice.batteryStateDidChangeNotification,
            .NSProcessInfoPowerStateDidChange,
        ], tell)
        tell()
    }
}

extension PowerState {
    @MainActor
    fileprivate static var now: PowerState {
        let device = UIDevice.current
        let level = device.batteryLevel
        return PowerState(
            // The system says -1 where it does not know.
            batteryPercent: level < 0 ? nil : UInt8(min(100, (level * 100).rounded())),
            charging: device.batteryState == .charging || device.batteryState == .full,
            saver: ProcessInfo.processInfo.isLowPowerModeEnabled,
            // iOS tells neither: it chooses by itself when background work runs.
            doze: false,
            bucket: .active
        )
    }
}

/// Calls back on the main thread when one of some notifications comes, until it is released. It has called when whoever
/// posts one goes on: the system may stop the process as soon as all have heard that the app went to the background.
final class Observers: @unchecked Sendable {
    private let tokens: [NSObjectProtocol]

    init(_ names: [Notification.Name], _ call: @escaping @MainActor @Sendable () -> Void) {
        tokens = names.map { name in
            NotificationCenter.default.addObserver(forName: name, object: nil, queue: .main) { _ in
                MainActor.assumeIsolated { call() }
            }
        }
    }

    deinit { tokens.forEach { NotificationCenter.default.removeObserver($0) } }
}
#endif
