# holdfast_folder(<folder> [DEPENDS <folder>...] [PACKAGES <pkg-config target>...]
#                 [EXCLUDE <file>...] [GENERATED <file>...])
#
# The static library holdfast_<folder> of all <folder>/*.c. Its objects are
# remembered for the shared library, which holds all folders.
function(holdfast_folder folder)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;PACKAGES;EXCLUDE;GENERATED")
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    foreach(file IN LISTS arg_EXCLUDE)
        list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    endforeach()
    list(APPEND sources ${arg_GENERATED})
    list(TRANSFORM arg_DEPENDS PREPEND holdfast_)
    list(TRANSFORM arg_PACKAGES PREPEND PkgConfig::)

    if(NOT sources)
        # Headers alone: nothing to archive, only dependencies to hand on.
        add_library(holdfast_${folder} INTERFACE)
        target_link_libraries(holdfast_${folder} INTERFACE
            holdfast_flags ${arg_DEPENDS} ${arg_PACKAGES} Threads::Threads)
        return()
    endif()
    add_library(holdfast_${folder} STATIC ${sources})
    target_link_libraries(holdfast_${folder}
        PUBLIC holdfast_flags ${arg_DEPENDS} Threads::Threads
        PRIVATE ${arg_PACKAGES})
    set_property(GLOBAL APPEND PROPERTY holdfast_objects
        $<TARGET_OBJECTS:holdfast_${folder}>)
    set_property(GLOBAL APPEND PROPERTY holdfast_packages ${arg_PACKAGES})
endfunction()
