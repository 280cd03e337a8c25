import CLinux
import Host

/// A C library opened when it is needed, and not linked: a healthy monitor loads none of them.
///
/// It stays open until the process ends; opening it again costs next to nothing.
public struct DynamicLibrary: Sendable {
  /// The name in the file's dynamic section, such as `libqb.so.100`.
  public let soname: String
  /// The Debian package it comes in.
  public let package: String
  private nonisolated(unsafe) let handle: UnsafeMutableRawPointer

  /// - Throws: `ENOENT` with what the dynamic loader says and the package that is missing.
  public init(_ soname: String, package: String) throws(SystemError) {
    guard let handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL) else {
      throw SystemError("opening \(soname)", .noSuchFile, detail: "\(Self.complaint) (package \(package))")
    }
    self.soname = soname
    self.package = package
    self.handle = handle
  }

  /// The address of `name`.
  ///
  /// - Throws: `ENOSYS` when the library, being too old or too new, has none of that name.
  public func address(of name: String) throws(SystemError) -> UnsafeMutableRawPointer {
    guard let address = dlsym(handle, name) else {
      throw SystemError("looking for \(name) in \(soname)", .notImplemented, detail: "\(Self.complaint) (package \(package))")
    }
    return address
  }

  /// The function `name`, as the C type `Function`, which should come from the library's own header
  /// (`typedef __typeof__(&name) …`).
  public func function<Function>(_ name: String, as _: Function.Type = Function.self) throws(SystemError) -> Function {
    let address = try address(of: name)
    precondition(MemoryLayout<Function>.size == MemoryLayout<UnsafeRawPointer>.size, "\(Function.self) is no C function")
    return unsafeBitCast(address, to: Function.self)
  }

  private static var complaint: String { dlerror().map { String(cString: $0) } ?? "no reason given" }
}
