pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode.set(RepositoriesMode.FAIL_ON_PROJECT_REPOS)
    repositories {
        google()
        mavenCentral()
        // `make aar` writes the library there.
        maven { url = uri("../target/aar/repository") }
    }
}

rootProject.name = "ailurus-demo"
include(":app")
