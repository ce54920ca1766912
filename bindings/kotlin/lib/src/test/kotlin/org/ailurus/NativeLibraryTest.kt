package org.ailurus

import java.io.File
import java.util.concurrent.TimeUnit
import org.ailurus.NativeLibraryException.Reason
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** Native libraries that are not there or not ours; each in a virtual machine of its own, which tries only once. */
class NativeLibraryTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `the jar brings its own`() {
        assertEquals("loaded $VERSION", probe().trim())
    }

    @Test
    fun `none`() = assertReason(Reason.MISSING, File(folder, "none.so"), "jna.library.path")

    @Test
    fun `a file that is no library`() {
        val text = File(folder, "text.so").apply { writeText("no library") }
        assertReason(Reason.OTHER_PLATFORM, text, text.path)
    }

    @Test
    fun `a library for another processor`() {
        if (!System.getProperty("os.name").startsWith("Linux")) {
            assertNotEquals("1", System.getenv("AILURUS_CI"), NEEDS_ELF)
            return println(NEEDS_ELF)
        }
        val other = File(folder, "arm.so").apply { writeBytes(stub("").readBytes().also { it[ELF_MACHINE] = AARCH64 }) }
        assertReason(Reason.OTHER_PLATFORM, other, other.path)
    }

    @Test
    fun `another library`() = assertReason(Reason.OTHER_VERSION, stub("int other(void) { return 1; }"), "same release")

    @Test
    fun `one with another interface`() =
        assertReason(Reason.OTHER_VERSION, stub("int ffi_ailurus_ffi_uniffi_contract_version(void) { return 1; }"), "same release")

    @Test
    fun `one of another version with the same interface`() {
        val thrown = assertThrows(NativeLibraryException::class.java) { NativeCode.checkVersion("99.0.0") }
        assertEquals(Reason.OTHER_VERSION, thrown.reason)
        assertTrue("99.0.0" in thrown.message.orEmpty() && VERSION in thrown.message.orEmpty(), thrown.message)
        NativeCode.checkVersion(version())
    }

    private fun assertReason(reason: Reason, library: File, hint: String) {
        val lines = probe("-Duniffi.component.ailurus.libraryOverride=${library.path}").trim().lines()
        assertEquals(4, lines.size, lines.toString())
        lines.forEach { line -> assertTrue(line.startsWith("$reason ") && hint in line, line) }
    }

    /** A library with this C code. */
    private fun stub(code: String): File {
        val source = File(folder, "stub.c").apply { writeText(code) }
        val library = File(folder, "stub${code.hashCode()}.so")
        val compiler = ProcessBuilder("cc", "-shared", "-fPIC", "-o", library.path, source.path).inheritIO().start()
        assertEquals(0, compiler.waitFor(), "this needs a C compiler named cc")
        return library
    }

    private fun probe(vararg options: String): String {
        val java = File(System.getProperty("java.home"), "bin/java").path
        val command = listOf(java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", *options, "-cp", CLASS_PATH, "org.ailurus.ProbeKt")
        val process = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val said = process.inputStream.bufferedReader().readText()
        assertTrue(process.waitFor(30, TimeUnit.SECONDS))
        assertEquals(0, process.exitValue(), said)
        return said
    }
}

private val CLASS_PATH = File(System.getProperty("ailurus.classpath")).readText()
private const val VERSION = Ailurus.VERSION
private const val NEEDS_ELF = "the test with a library for another processor needs Linux, where libraries are ELF files"
private const val ELF_MACHINE = 18
private const val AARCH64 = 183.toByte()
