// Stands in for Apple's UIKit where that is not, to check types only: nothing here does anything.

@_exported import Foundation

open class CALayer: NSObject {
    public var frame: CGRect { get { fatalError() } set {} }
    public func addSublayer(_ layer: CALayer) {}
}

@MainActor
open class UIResponder: NSObject {}

@MainActor
open class UIView: UIResponder {
    public var layer: CALayer { fatalError() }
    public var bounds: CGRect { get { fatalError() } set {} }
}

@MainActor
open class UIViewController: UIResponder {
    public init(nibName: String?, bundle: Bundle?) {}
    public required init?(coder: NSCoder) { fatalError() }
    public var view: UIView! { get { fatalError() } set {} }
    open func viewDidLoad() {}
    open func viewDidLayoutSubviews() {}
    open func viewWillAppear(_ animated: Bool) {}
    open func viewDidDisappear(_ animated: Bool) {}
}

@MainActor
open class UIActivity: NSObject {}

@MainActor
open class UIActivityViewController: UIViewController {
    public init(activityItems: [Any], applicationActivities: [UIActivity]?) { fatalError() }
    public required init?(coder: NSCoder) { fatalError() }
}

public struct UIBackgroundTaskIdentifier: Equatable, Sendable {
    public static let invalid = UIBackgroundTaskIdentifier()
}

@MainActor
open class UIApplication: UIResponder {
    public enum State: Sendable { case active, inactive, background }
    public class var shared: UIApplication { fatalError() }
    public nonisolated class var willEnterForegroundNotification: Notification.Name { fatalError() }
    public nonisolated class var didEnterBackgroundNotification: Notification.Name { fatalError() }
    public var applicationState: State { fatalError() }
    public func beginBackgroundTask(
        withName name: String?,
        expirationHandler: (@MainActor @Sendable () -> Void)? = nil
    ) -> UIBackgroundTaskIdentifier { fatalError() }
    public func endBackgroundTask(_ identifier: UIBackgroundTaskIdentifier) {}
}

@MainActor
open class UIDevice: NSObject {
    public enum BatteryState: Sendable { case unknown, unplugged, charging, full }
    public class var current: UIDevice { fatalError() }
    public nonisolated class var batteryLevelDidChangeNotification: Notification.Name { fatalError() }
    public nonisolated class var batteryStateDidChangeNotification: Notification.Name { fatalError() }
    public var isBatteryMonitoringEnabled: Bool { get { fatalError() } set {} }
    public var batteryLevel: Float { fatalError() }
    public var batteryState: BatteryState { fatalError() }
}

extension Notification.Name {
    public static var NSProcessInfoPowerStateDidChange: Notification.Name { fatalError() }
}

extension ProcessInfo {
    public var isLowPowerModeEnabled: Bool { fatalError() }
}
