// Stands in for Apple's UniformTypeIdentifiers where that is not, to check types only: nothing here does anything.

public struct UTType: Sendable {
    public static let data = UTType()
}
