/// The stored properties of a structure with the offsets of their values, in the order of declaration, read from the
/// type's own descriptor.
///
/// `Mirror` tells the same, but makes sense of every property's type on the way: four tenths of a monitor's instructions.
/// The layout is that of Swift's ABI (docs/ABI/TypeMetadata.rst, "Struct Metadata" and "Nominal Type Descriptor";
/// include/swift/RemoteInspection/Records.h, "FieldDescriptor"); a test compares every agent's with its mirror.
struct Fields: Sequence, IteratorProtocol {
  private let offsets: UnsafeRawPointer
  private let records: UnsafeRawPointer
  private let recordSize, count: Int
  private var index = 0

  /// Nil when `type` is not a structure.
  init?<Subject>(of type: Subject.Type) {
    let metadata = unsafeBitCast(type, to: UnsafeRawPointer.self)
    guard metadata.load(as: UInt.self) == Layout.structure else { return nil }
    let descriptor = metadata.load(fromByteOffset: Layout.descriptor, as: UnsafeRawPointer.self)
    let fields = Self.relative(descriptor + Layout.fieldDescriptor)
    offsets = metadata + Int(descriptor.load(fromByteOffset: Layout.offsetsInWords, as: UInt32.self)) * MemoryLayout<UInt>.size
    recordSize = Int(fields.load(fromByteOffset: Layout.recordSize, as: UInt16.self))
    count = Int(fields.load(fromByteOffset: Layout.recordCount, as: UInt32.self))
    records = fields + Layout.records
  }

  mutating func next() -> (name: UnsafePointer<CChar>, offset: Int)? {
    guard index < count else { return nil }
    defer { index += 1 }
    let name = Self.relative(records + index * recordSize + Layout.name).assumingMemoryBound(to: CChar.self)
    return (name, Int(offsets.load(fromByteOffset: index * MemoryLayout<UInt32>.size, as: UInt32.self)))
  }

  /// Where the 32-bit offset at `place`, which counts from there, leads to.
  private static func relative(_ place: UnsafeRawPointer) -> UnsafeRawPointer { place + Int(place.load(as: Int32.self)) }

  /// Offsets in bytes but where it says otherwise.
  private enum Layout {
    /// The metadata's kind.
    static let structure: UInt = 0x200
    /// In the metadata.
    static let descriptor = 8
    /// In the type's descriptor.
    static let fieldDescriptor = 16, offsetsInWords = 24
    /// In the field descriptor.
    static let recordSize = 10, recordCount = 12, records = 16
    /// In a field's record.
    static let name = 8
  }
}
