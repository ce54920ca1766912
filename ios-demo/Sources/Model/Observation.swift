// What views watch: Combine's on Apple platforms, and elsewhere as much of it as the models need to run in tests.

#if canImport(Combine)
@_exported import Combine
#else
/// A model that views watch.
public protocol ObservableObject: AnyObject {}

/// A property that views watch.
@propertyWrapper
public struct Published<Value> {
    public var wrappedValue: Value

    public init(wrappedValue: Value) {
        self.wrappedValue = wrappedValue
    }
}
#endif
