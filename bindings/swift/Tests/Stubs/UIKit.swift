// What the adapters use of Apple's UIKit and its Foundation, so that they can be type-checked elsewhere.
import Foundation

@MainActor
public final class UIDevice: NSObject {
    public static let current = UIDevice()
    public enum BatteryState: Sendable { case unknown, unplugged, charging, full }
    public var isBatteryMonitoringEnabled = false
    public var batteryLevel: Float { fatalError() }
    public var batteryState: BatteryState { fatalError() }
    public nonisolated static let batteryLevelDidChangeNotification = Notification.Name("")
    public nonisolated static let batteryStateDidChangeNotification = Notification.Name("")
}

@MainActor
public final class UIApplication: NSObject {
    public static let shared = UIApplication()
    public enum State: Sendable { case active, inactive, background }
    public var applicationState: State { fatalError() }
    public nonisolated static let willEnterForegroundNotification = Notification.Name("")
    public nonisolated static let didEnterBackgroundNotification = Notification.Name("")
    public func beginBackgroundTask(
        withName: String?, expirationHandler: (@MainActor @Sendable () -> Void)?
    ) -> UIBackgroundTaskIdentifier { fatalError() }
    public func endBackgroundTask(_: UIBackgroundTaskIdentifier) {}
}

public struct UIBackgroundTaskIdentifier: Hashable, Sendable {
    public static let invalid = UIBackgroundTaskIdentifier()
}

extension ProcessInfo {
    public var isLowPowerModeEnabled: Bool { fatalError() }
}

extension Notification.Name {
    public static let NSProcessInfoPowerStateDidChange = Notification.Name("")
}
