package org.ailurus

import com.sun.jna.Callback
import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import com.sun.jna.NativeLibrary
import com.sun.jna.Platform
import java.io.File
import org.ailurus.NativeLibraryException.Reason

/** The native library, once it is loaded and checked. Generated code takes it from here. */
internal fun nativeCode(): UniffiLib {
    NativeCode.load()
    return UniffiLib
}

internal object NativeCode {
    @Volatile
    private var loaded = false
    private var failure: NativeLibraryException? = null

    fun load() {
        if (!loaded) {
            loadOnce()
        }
    }

    @Synchronized
    private fun loadOnce() {
        if (loaded) {
            return
        }
        // The virtual machine tries to initialise a class only once.
        failure?.let { throw NativeLibraryException(it.reason, it.message.orEmpty(), it) }
        try {
            find()
            keepThreads()
            checkInterface()
            checkVersion(nativeVersion())
        } catch (exception: NativeLibraryException) {
            failure = exception
            throw exception
        }
        loaded = true
    }

    private fun find() {
        val library = try {
            NativeLibrary.getInstance(libraryName(), NativeCode::class.java.classLoader)
        } catch (error: LinkageError) {
            throw notLoaded(error)
        }
        try {
            library.getFunction("ffi_ailurus_ffi_uniffi_contract_version")
        } catch (error: UnsatisfiedLinkError) {
            throw otherVersion("${library.file ?: library.name} is no native library of Ailurus $BUILD_VERSION", error)
        }
    }

    /** Generated code knows a checksum of each function that it calls. */
    private fun checkInterface() {
        try {
            uniffiEnsureInitialized()
        } catch (error: LinkageError) {
            throw otherVersion("the native library has other functions than Ailurus $BUILD_VERSION", error)
        }
    }

    /**
     * Threads of the core that call back stay known to the virtual machine until they end, and do not keep it alive.
     * JNA heeds this only if it is told before the callbacks are given to the core.
     */
    private fun keepThreads() {
        val callbacks = listOf<Callback>(
            uniffiRustFutureContinuationCallbackImpl,
            uniffiCallbackInterfaceKeyVault.load,
            uniffiCallbackInterfaceKeyVault.store,
            uniffiCallbackInterfaceKeyVault.uniffiClone,
            uniffiCallbackInterfaceKeyVault.uniffiFree,
            uniffiCallbackInterfaceListener.onEvent,
            uniffiCallbackInterfaceListener.uniffiClone,
            uniffiCallbackInterfaceListener.uniffiFree,
            uniffiCallbackInterfaceLogSink.log,
            uniffiCallbackInterfaceLogSink.uniffiClone,
            uniffiCallbackInterfaceLogSink.uniffiFree,
        )
        val initializer = CallbackThreadInitializer(true, false, "ailurus")
        callbacks.forEach { Native.setCallbackThreadInitializer(it, initializer) }
    }

    private fun nativeVersion(): String =
        FfiConverterString.lift(UniffiLib.uniffi_ailurus_ffi_fn_func_version(UniffiRustCallStatus()))

    internal fun checkVersion(native: String) {
        if (native != BUILD_VERSION) {
            throw otherVersion("the native library is of version $native and this jar of version $BUILD_VERSION", null)
        }
    }
}

private fun otherVersion(what: String, cause: Throwable?) =
    NativeLibraryException(Reason.OTHER_VERSION, "$what; take both from the same release", cause)

private fun notLoaded(cause: LinkageError): NativeLibraryException {
    val file = System.mapLibraryName("ailurus")
    val found = try {
        location()
    } catch (_: LinkageError) {
        return NativeLibraryException(
            Reason.OTHER_PLATFORM,
            "JNA does not run here: ${cause.message}; use the JNA of this platform (on Android the one of type aar)",
            cause,
        )
    }
    if (found == null) {
        return NativeLibraryException(
            Reason.MISSING,
            "there is no native library of Ailurus for ${Platform.RESOURCE_PREFIX}: use the jar that holds it, or name" +
                " the folder of $file in the system property jna.library.path",
            cause,
        )
    }
    return NativeLibraryException(
        Reason.OTHER_PLATFORM,
        "the native library $found does not load on ${Platform.RESOURCE_PREFIX}: use the one that was built for it",
        cause,
    )
}

/** As generated code names it; tests put another in its place. */
private fun libraryName(): String = System.getProperty("uniffi.component.ailurus.libraryOverride") ?: "ailurus"

/** Where a library is that did not load. */
private fun location(): String? {
    val file = File(libraryName())
    if (file.isAbsolute) {
        return file.path.takeIf { file.exists() }
    }
    val name = System.mapLibraryName(libraryName())
    val inFolder = listOf("jna.library.path", "java.library.path")
        .flatMap { System.getProperty(it).orEmpty().split(File.pathSeparator) }
        .filter { it.isNotEmpty() }
        .map { File(it, name) }
        .firstOrNull { it.exists() }
    val resource = "${Platform.RESOURCE_PREFIX}/$name"
    return inFolder?.path ?: resource.takeIf { NativeCode::class.java.classLoader?.getResource(it) != null }
}
